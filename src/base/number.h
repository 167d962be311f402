/* Numbers as text with a point, whatever the locale of the program around the library is. */
#ifndef TD_BASE_NUMBER_H
#define TD_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* Room for any number. */
#define TD_NUMBER_TEXT 32

/* Writes `value` with so many significant digits: 9 give a float again exactly, 17 a double. */
void td_number_write(double value, int digits, char text[TD_NUMBER_TEXT]);

/* Reads the number that `text` starts with; *end is what follows. False if there is none. */
bool td_number_read(const char *text, double *value, const char **end);

#endif
