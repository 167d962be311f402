#!/usr/bin/env python3
"""Writes tests/unit/pillow_golden.h: pictures as Pillow encodes, decodes, resizes and crops them.

    pip install pillow==13.0.0 && tests/interop/pillow_golden.py > tests/unit/pillow_golden.h
"""
import io

from PIL import Image

WIDTH, HEIGHT = 37, 23


def pixel(x, y, c):
    """Smooth in places, with edges in others; picture_golden's test makes the same."""
    return (x * (5 + c) + y * 11 + (x // 9) * 71 * ((y // 7 + c) % 2)) % 256


def picture():
    made = Image.new('RGB', (WIDTH, HEIGHT))
    made.putdata([tuple(pixel(x, y, c) for c in range(3)) for y in range(HEIGHT) for x in range(WIDTH)])
    return made


def declare(name, content):
    print(f'static const unsigned char {name}[] = {{')
    for start in range(0, len(content), 16):
        print('    ' + ', '.join(str(value) for value in content[start:start + 16]) + ',')
    print('};')


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def resized(image, size):
    """torchvision.transforms.Resize(size)."""
    short = min(image.size)
    return image.resize(tuple(int(size * side / short) for side in image.size), Image.BILINEAR)


def cropped(image, size):
    """torchvision.transforms.CenterCrop(size)."""
    left, top = (int(round((side - size) / 2.0)) for side in image.size)
    return image.crop((left, top, left + size, top + size))


def main():
    source = picture()
    small = source.crop((0, 0, 19, 13))
    grey = small.convert('L')
    print('/* Written by tests/interop/pillow_golden.py with Pillow; do not edit. */')
    print('#ifndef PILLOW_GOLDEN_H\n#define PILLOW_GOLDEN_H\n\n/* clang-format off */')
    for size in (7, 11, 22, 40):
        declare(f'golden_resized_{size}', resized(source, size).tobytes())
    for size in (8, 9, 10, 11):
        declare(f'golden_cropped_{size}', cropped(source, size).tobytes())
    declare('golden_grey', grey.tobytes())
    for name, kind, image, options in (
            ('jpeg', 'JPEG', small, {'quality': 80}),
            ('jpeg_progressive', 'JPEG', small, {'quality': 80, 'progressive': True}),
            ('jpeg_grey', 'JPEG', grey, {'quality': 80}),
            ('jpeg_cmyk', 'JPEG', small.convert('CMYK'), {}),
            ('png', 'PNG', small, {}),
            ('png_grey', 'PNG', grey, {}),
            ('png_palette', 'PNG', small.quantize(16), {}),
            ('png_alpha', 'PNG', small.convert('RGBA'), {}),
            ('png_one_bit', 'PNG', grey.convert('1'), {})):
        content = encoded(image, kind, **options)
        declare(f'golden_{name}', content)
        if name != 'jpeg_cmyk':
            decoded = Image.open(io.BytesIO(content))
            decoded = decoded.convert('L' if decoded.mode in ('1', 'L') else 'RGB')
            declare(f'golden_{name}_pixels', decoded.tobytes())
    sixteen = Image.new('I;16', (5, 3))
    sixteen.putdata([4000 * i for i in range(15)])
    declare('golden_png_sixteen', encoded(sixteen, 'PNG'))
    print('/* clang-format on */\n\n#endif')


if __name__ == '__main__':
    main()
