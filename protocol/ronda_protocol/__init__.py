"""What handheld and gateway must compute alike: the same files on CPython and on MicroPython.

No I/O, no clock, no stored key, no float.
"""
