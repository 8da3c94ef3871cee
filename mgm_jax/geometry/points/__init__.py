"""What every function asks of its points before it measures them.

| file | what |
|---|---|
| ``checks`` | the one door: any array, tensor or frame in, float32 or bfloat16 out, or an error |
| ``rounding`` | what float32 does to wider numbers: centred, told of, or refused |
| ``counts`` | whole numbers that users hand over |
| ``groups`` | partitions, and batches of groups in a few padded shapes |
| ``duplicates`` | equal rows, and the distinct ones that stand for them |
"""
