"""Non-negative kernel regression in pairs of float32, for devices whose float64 is slow.

| file | what |
|---|---|
| ``settle`` | what callers use: pairs on the device, refused points in float64 on the host |
| ``programs`` | the compiled programs, from points to weights |
| ``distances`` | squared distances of points and candidates, the points in the last axes |
| ``reduce`` | kernels, less what all candidates have of the point |
| ``solve`` | support, refinement and certificate; ``pivot`` finds the support in float32 |
| ``exponential`` | the exponential function |
"""
