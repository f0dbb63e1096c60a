"""Plant faults that a GPU would show; report of each what was raised, or that nothing was."""

import torch
from pretended import nobody_waits, report

pictures = torch.rand(4, 4, device="cuda")


def generator_of_the_cpu() -> None:
    torch.rand(3, device="cuda", generator=torch.Generator())


def sum_over_devices() -> None:
    pictures + torch.rand(4, 4)


def weights_left_on_the_cpu() -> None:
    torch.nn.functional.conv2d(pictures[None, None], torch.rand(1, 1, 3, 3))


def type_without_a_kernel() -> None:
    torch.linalg.inv(pictures.half())


def device_without_an_index() -> None:
    torch.cuda.set_device(torch.device("cuda"))


def device_that_is_not_there() -> None:
    torch.rand(3, device="cuda:1")


def loss_that_is_read() -> None:
    with nobody_waits():
        pictures.sum().item()


def copy_that_waits() -> None:
    with nobody_waits():
        torch.rand(4, 4).to("cuda")


def copy_in_a_capture() -> None:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        pictures.cpu()


def wait_in_a_capture() -> None:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.cuda.synchronize()


def result_kept_over_a_replay() -> None:
    double = torch.compile(lambda tensor: tensor * 2, backend="cudagraphs")
    kept = None
    for _ in range(5):
        torch.compiler.cudagraph_mark_step_begin()
        result = double(pictures)
        if kept is not None:
            kept + 1
        kept = result


FAULTS = (
    generator_of_the_cpu,
    sum_over_devices,
    weights_left_on_the_cpu,
    type_without_a_kernel,
    device_without_an_index,
    device_that_is_not_there,
    loss_that_is_read,
    copy_that_waits,
    result_kept_over_a_replay,
    copy_in_a_capture,
    wait_in_a_capture,
)
for fault in FAULTS:
    try:
        fault()
        report(fault=fault.__name__, caught=None)
    except Exception as error:
        report(fault=fault.__name__, caught=f"{type(error).__name__}: {error}".splitlines()[0])
