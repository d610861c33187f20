"""The command line's commands, a file for each group. They translate between people and the parts below;
what a command means is decided there.
"""
