"""Passes on a GPU that wait for nothing but the GPU.

While one batch is computed, the next is copied there and the last one's numbers come back, each in
a stream and memory of its own (`passes`). A pass of a shape that comes again is a CUDA graph, one
launch for some hundred (`graphs`). A batch for which memory is too small is halved, and the run
goes on. All that needs a GPU is behind `device.Device`, for which the tests have stand-ins.
"""
