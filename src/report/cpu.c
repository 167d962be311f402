#include <tdsnn/report.h>

#include <string.h>
#include <sys/utsname.h>

/* The value of a line "model name : value" of /proc/cpuinfo; NULL for other lines. */
static char *model_name(char *line) {
    if (strncmp(line, "model name", 10) != 0) {
        return NULL;
    }
    char *value = strchr(line, ':');
    if (value == NULL) {
        return NULL;
    }
    value += strspn(value, ": \t");
    value[strcspn(value, "\n")] = '\0';
    return *value == '\0' ? NULL : value;
}

void tdsnn_cpu_name(char *name, size_t size) {
    char line[512];
    struct utsname system;
    const char *found = NULL;
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file != NULL && found == NULL && fgets(line, sizeof line, file) != NULL) {
        found = model_name(line);
    }
    if (file != NULL) {
        fclose(file);
    }
    if (found == NULL) { /* ARM's has no such line */
        found = uname(&system) == 0 ? system.machine : "unknown";
    }
    snprintf(name, size, "%s", found);
}
