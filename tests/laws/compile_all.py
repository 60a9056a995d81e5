"""Compile every registered map in both directions, and every flow with its gradients, without a graph break; export it.

Run by test_compile, where no hook checks shapes. Arguments: the backend, then the names of the entries; none for all.
"""

import sys

import torch

from tests.laws.registry import ALL, FLOWS


def compare(found: object, expected: object) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def check(name: str, backend: str) -> None:
    module, (x, context) = ALL[name].make(), ALL[name].data()
    for function in (module.to_latent, module.to_data):
        torch._dynamo.reset()
        start = x if function == module.to_latent else module.to_latent(x, context)[0]
        compare(torch.compile(function, backend=backend, fullgraph=True)(start, context), function(start, context))


def check_training_step(name: str, backend: str) -> None:
    """The loss of a flow and the gradients of all its parameters, compiled and not."""
    torch._dynamo.reset()
    flow, (x, context) = ALL[name].make(), ALL[name].data()
    compiled = torch.compile(flow, backend=backend, fullgraph=True)
    parameters = list(flow.parameters())
    losses = [-model(x, context).mean() for model in (compiled, flow)]
    gradients = [torch.autograd.grad(loss, parameters) for loss in losses]
    compare(losses[0], losses[1])
    for one, other in zip(*gradients, strict=True):
        compare(one, other)


def check_export(name: str) -> None:
    """A flow leaves Python as a graph for batches of any size."""
    flow, (x, context) = ALL[name].make(), ALL[name].data()
    inputs = (x,) if context is None else (x, context)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(flow, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    fewer = tuple(tensor[:5] for tensor in inputs)
    compare(program.module()(*fewer), flow(*fewer))


def main(backend: str, *names: str) -> None:
    for name in names or [name for name, case in ALL.items() if "compile" not in case.exempt]:
        if name in FLOWS:
            check_training_step(name, backend)
            check_export(name)
        else:
            check(name, backend)
        print(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
