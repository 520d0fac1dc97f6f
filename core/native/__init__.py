"""An optional decoding step in C for the CPU: one call per token, at the speed at which the weights can be read.

It is built with the package where there is a C compiler; without it everything runs in torch. `library` loads it,
`plan` writes down what it has to do for a model, `step` does it, `packing` quantises matrices and reads them for torch.
Must
not know text, sampling or files.
"""
