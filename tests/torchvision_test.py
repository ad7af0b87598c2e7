#!/usr/bin/env python3
# labels: ci, torch
"""Augmentation beside torchvision's: the same windows, the same colours."""
import os
import subprocess
import unittest

import numpy
import torch
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode

PROGRAM = os.path.join(os.environ["KINEMA_BUILD"], "tests", "augment_oracle")


def augment(frame, *arguments, shape):
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=frame.tobytes(), capture_output=True, check=True)
    return numpy.frombuffer(done.stdout, frame.dtype).reshape(*shape, 3)


class Augment(unittest.TestCase):
    def test_windows_are_scaled_alike(self):
        frame = numpy.random.default_rng(1).integers(0, 256, (60, 80, 3), numpy.uint8)
        for y, x, h, w, to_h, to_w in [(3, 5, 40, 50, 32, 32), (0, 0, 60, 80, 17, 23), (10, 20, 16, 12, 32, 32),
                                       (5, 5, 32, 32, 32, 32), (0, 0, 60, 80, 60, 40), (7, 1, 1, 9, 4, 4)]:
            ours = augment(frame, "scale", 60, 80, y, x, h, w, to_h, to_w, shape=(to_h, to_w))
            tensor = torch.from_numpy(frame).permute(2, 0, 1)
            theirs = F.resized_crop(tensor, y, x, h, w, [to_h, to_w], InterpolationMode.BILINEAR, antialias=True)
            difference = numpy.abs(ours.astype(int) - theirs.permute(1, 2, 0).numpy().astype(int))
            # Both round once, sums of f32 in another order: one level where they fall on a half.
            self.assertLessEqual(difference.max(), 1, (h, w, to_h, to_w))
            self.assertLess((difference > 0).mean(), 0.01, (h, w, to_h, to_w))

    def test_colours_change_alike(self):
        frame = numpy.random.default_rng(2).random((24, 32, 3), numpy.float32)
        changes = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
        for factors in [(1.4, 1, 1, 0), (0.3, 1, 1, 0), (1, 1.7, 1, 0), (1, 0.2, 1, 0), (1, 1, 2, 0), (1, 1, 0, 0),
                        (1, 1, 1, 0.31), (1, 1, 1, -0.5), (0.8, 1.3, 0.6, -0.1), (1.3, 0.7, 1.9, 0.2)]:
            for order in ("0123", "3210", "2031"):
                ours = augment(frame, "colour", 24, 32, *factors, order, shape=(24, 32))
                image = torch.from_numpy(frame).permute(2, 0, 1)
                for what in map(int, order):
                    image = changes[what](image, factors[what])
                difference = numpy.abs(ours - image.permute(1, 2, 0).numpy())
                # Some ten roundings of numbers up to 1; the hue's six sectors magnify one by 6.
                self.assertLess(difference.max(), 100 * 2**-23, (factors, order))


if __name__ == "__main__":
    unittest.main()
