"""What the compilers for TPUs and GPUs make of this product's kernels, without such a device.

JAX compiles for a described device with the compiler that a host with that device uses. The result
cannot run here, but it says what would run. Nothing in this package is a measurement.

| file | what |
|---|---|
| ``devices`` | the devices and their rates |
| ``compilers`` | their compilers: everything of JAX that is private |
| ``counts`` | reads the compiled program: cycles, loops, collectives, calls |
| ``cache`` | what was read of a program, kept by its text and by the compiler |
| ``kernels`` | the programs of the product, as users call them, at shapes of real use |
| ``loops`` | loops that grow with the points, seen before compiling |
| ``table`` | what compiled kernels come to; the table for people |
| ``packages`` | what the compilers of the JAX at hand come in |

Run ``python -m benchmarks.compile_only`` with the extra ``[compile-only]`` installed.
"""
