"""The configuration of a run: one model a part; defaults < recipe < TOML file < `--set` < flags. Imports no torch.

Names follow the options of the official PyTorch implementation. Every unknown key is refused with the nearest name.
"""

import re
import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ..runtime.errors import ConfigError
from ..runtime.metadata import Direction
from .bounds import Channels, Count, Interval, PathText, Side, Weight, Width

Preprocess = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
GENERATORS = "resnet_<N>blocks, mobile_resnet_<N>blocks, edge_resnet_<N>blocks, unet_128 or unet_256"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Part):
    """The pictures that the networks see."""

    dataroot: PathText = Field("", description="folder, or address such as s3://bucket/horses, with trainA and trainB")
    direction: Direction = Field("AtoB", description="BtoA swaps the folders: trainB becomes domain A")
    input_nc: Channels = Field(3, description="channels of domain A's pictures")
    output_nc: Channels = Field(3, description="channels of domain B's pictures")
    preprocess: Preprocess = Field("resize_and_crop", description="how a picture gets to the size that is trained on")
    load_size: Side = Field(286, description="side, or width for scale_width, that pictures are resized to")
    crop_size: Side = Field(256, description="side of the random crop that is trained on, in pixels")
    flip: bool = Field(True, description="mirror half of the pictures")
    batch_size: int = Field(1, ge=1, le=65536)
    serial_batches: bool = Field(False, description="take the pictures in the order of their names")
    white_A: int = Field(65535, ge=1, le=65535, description="value of domain A's 16-bit files that is white")
    white_B: int = Field(65535, ge=1, le=65535, description="value of domain B's 16-bit files that is white")
    cache: PathText = Field("", description="folder of prepared pictures; empty: the user's cache folder; off: none")
    max_dataset_size: Count = Field(0, description="pictures of each folder that are used, by name; 0: all")

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop_size > self.load_size and self.preprocess not in ("crop", "none"):
            raise ValueError(f"data.crop_size={self.crop_size} is larger than data.load_size={self.load_size}")
        return self


class NetworksConfig(_Part):
    """Architecture and initial weights of the four networks."""

    generator: Annotated[
        str, StringConstraints(pattern=r"^((mobile_|edge_)?resnet_[1-9]\d?blocks|unet_128|unet_256)$")
    ] = Field("resnet_9blocks", description=GENERATORS)
    discriminator: Literal["basic", "n_layers", "pixel"] = "basic"
    n_layers_D: int = Field(3, ge=1, le=8, description="layers of the n_layers discriminator; basic has 3")
    ngf: Width = Field(64, description="channels of the generators' first convolution")
    ndf: Width = Field(64, description="channels of the discriminators' first convolution")
    norm: Literal["instance", "batch", "none"] = "instance"
    norm_floor: float = Field(
        0, ge=0, le=100, description="of the generators' norms: least variance, relative to the channel's usual one"
    )
    upsample: Literal["deconv", "resize"] = Field(
        "deconv", description="resize (nearest, then a convolution) cannot leave a checkerboard"
    )
    antialias: bool = Field(False, description="blur pools in the place of strides, as in the generator of CUT")
    tail: Literal["tiles", "smooth"] = Field(
        "tiles", description="of edge_resnet; smooth: overlapping kernels at full size, which leave no grid"
    )
    dropout: bool = False
    init_type: Literal["normal", "xavier", "kaiming", "orthogonal"] = "normal"
    init_gain: float = Field(0.02, gt=0, le=10)

    @model_validator(mode="after")
    def _upsampling_exists(self) -> Self:
        if self.upsample == "resize" and self.generator.startswith("edge_"):
            raise ValueError(f"{self.generator} has no layer that upsample=resize could replace; leave that out")
        if self.antialias and (not re.search("^(mobile_)?resnet", self.generator) or self.upsample == "resize"):
            raise ValueError("antialias goes with a resnet generator of upsample=deconv; leave it out")
        if self.tail != "tiles" and not self.generator.startswith("edge_"):
            raise ValueError(f"{self.generator} has no tail to choose, an edge_resnet has; set networks.tail=tiles")
        return self

    @model_validator(mode="after")
    def _floor_has_norms(self) -> Self:
        if self.norm_floor and self.norm != "instance":
            raise ValueError(f"norm_floor goes with norm=instance, not {self.norm}; set networks.norm_floor=0")
        return self

    @property
    def size_multiple(self) -> int:
        """Number that both sides of the generators' pictures are multiples of."""
        unet = re.fullmatch(r"unet_(\d+)", self.generator)
        return int(unet[1]) if unet else 4

    @property
    def num_discriminator_layers(self) -> int:
        """Strided layers of the patch discriminator; 0 for pixel, which has none."""
        return {"basic": 3, "n_layers": self.n_layers_D, "pixel": 0}[self.discriminator]

    @property
    def smallest_crop(self) -> int:
        """Side in pixels below which the discriminator's last layers have nothing left to normalise."""
        return 3 << self.num_discriminator_layers


class LossesConfig(_Part):
    """Weights and kinds of the loss terms."""

    gan_mode: Literal["lsgan", "vanilla", "hinge", "wgangp"] = "lsgan"
    lambda_A: Weight = Field(10.0, description="weight of the cycle A → B → A")
    lambda_B: Weight = Field(10.0, description="weight of the cycle B → A → B")
    lambda_identity: Weight = Field(0.5, description="identity weight relative to the cycle weights; 0: off")
    lambda_gp: Weight = Field(10.0, description="weight of wgangp's gradient penalty")
    lambda_temporal: Weight = Field(0.0, description="weight of steadiness under synthetic motion, for videos; 0: off")
    cycle_noise: float = Field(
        0, ge=0, le=255, description="noise in steps of 1/255 on a fake, rounded to 8 bits, before its way back; 0: off"
    )


class OptimConfig(_Part):
    """The update of the networks in one step."""

    lr: float = Field(2e-4, gt=0, le=1)
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    update_order: Literal["generators_first", "discriminators_first"] = "generators_first"
    pool_size: int = Field(50, ge=0, le=100_000, description="fakes that each history buffer holds; 0: none")
    ema_halflife: float = Field(
        10_000, ge=0, le=1e12, description="half-life of averaged generators, in pictures; 0: off"
    )
    clip_norm: Weight = Field(0, description="longest gradient of all generators, or discriminators; 0: any")
    diffaugment: bool = Field(False, description="change all that a discriminator sees, for some hundred pictures")
    accumulate: int = Field(1, ge=1, le=65536, description="parts that a batch is computed in, to save memory")
    checkpoint_activations: bool = Field(False, description="compute generators twice, to save memory")


class ScheduleConfig(_Part):
    """The learning rate by epoch."""

    lr_policy: Literal["linear", "step", "cosine", "plateau"] = "linear"
    n_epochs: Count = Field(100, description="epochs at the initial learning rate")
    n_epochs_decay: Count = Field(100, description="epochs over which linear and cosine fall to zero")
    lr_decay_iters: Interval = Field(50, description="epochs between the steps of the step policy")
    cycle_weight_end: float = Field(1, ge=0, le=1, description="share of the cycle weights that the last epoch has")

    @property
    def total_epochs(self) -> int:
        """Epochs of the whole run."""
        return self.n_epochs + self.n_epochs_decay

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.total_epochs == 0:
            raise ValueError("schedule.n_epochs and schedule.n_epochs_decay are both 0: there is nothing to train")
        return self


class RunConfig(_Part):
    """The run itself: where, how precisely, how long, and what is written when."""

    seed: int = Field(0, ge=0, lt=2**63)
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d{1,2})?)$")] = "auto"
    precision: Precision = "auto"
    compile: bool | Literal["auto"] = Field(
        "auto",
        description="compile the step: minutes at the start, then faster; auto: on one NVIDIA GPU, for long runs",
    )
    max_steps: Count = Field(0, description="stop after this many steps in all; 0: when the epochs are done")
    log_every: Interval = Field(50, description="steps between two records of the losses")
    preview_every: Interval = Field(500, description="steps between two preview grids")
    save_every: Interval = Field(500, description="steps between two writes of latest.pt")
    keep_every_epochs: Interval = Field(10, description="epochs between two checkpoints that are kept for good")
    validate_every_epochs: Interval = Field(5, description="epochs between two validations on testA and testB")


class ValidationConfig(_Part):
    """The validation on testA and testB every `run.validate_every_epochs`, and its consequences."""

    metric: Annotated[
        str,
        StringConstraints(
            pattern=r"^(auto|cycle_l1|(psnr|ssim|gmsd|swd|colour|checkerboard|fid|kid)(_AtoB|_BtoA)?"
            r"|(cycle_psnr|identity_psnr)(_A|_B)?)$"
        ),
    ] = Field("auto", description="chooses best.pt; a bare name is the mean of both directions; auto: ssim, or swd")
    patience: Count = Field(0, description="validations without a better metric before the run stops; 0: never")
    max_pictures: Interval = Field(64, description="pictures of each folder that are measured, always the same")
    features: PathText = Field("", description="TorchScript feature extractor that adds fid and kid")


class DistillConfig(_Part):
    """The distillation of a student from a teacher; without a teacher the run trains a CycleGAN."""

    teacher: PathText = Field("", description="run folder, checkpoint or official weights; empty: none")
    direction: Literal["AtoB", "BtoA", "both"] = Field("AtoB", description="which generators have a student")
    lambda_output: Weight = Field(10.0, description="weight of the L1 distance to the teacher's output")
    lambda_features: Weight = Field(1.0, description="weight of the distance to its activations; 0: off")
    lambda_adversarial: Weight = Field(1.0, description="weight of the discriminator's judgement")

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that have a student."""
        return ("AtoB", "BtoA") if self.direction == "both" else (self.direction,)


class TrainConfig(_Part):
    """Everything that decides what a run computes; written into the run folder and every checkpoint."""

    data: DataConfig = DataConfig()
    networks: NetworksConfig = NetworksConfig()
    losses: LossesConfig = LossesConfig()
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    run: RunConfig = RunConfig()
    validation: ValidationConfig = ValidationConfig()
    distill: DistillConfig = DistillConfig()

    @model_validator(mode="after")
    def _metric_is_of_what_is_learnt(self) -> Self:
        metric, direction = self.validation.metric, self.distill.direction
        if not self.distill.teacher or direction == "both":
            return self
        untrained = f"{direction[-1]}to{direction[0]}"
        if metric.startswith("cycle") or metric.endswith((untrained, f"identity_psnr_{direction[0]}")):
            raise ValueError(f"validation.metric={metric} cannot be measured on a student of {direction}; take ssim")
        return self

    @model_validator(mode="after")
    def _identity_is_possible(self) -> Self:
        data = self.data
        if self.losses.lambda_identity and data.input_nc != data.output_nc:
            raise ValueError(
                f"the identity loss needs domains of equal channels, not {data.input_nc} and {data.output_nc}; "
                "set losses.lambda_identity=0"
            )
        return self

    @model_validator(mode="after")
    def _memory_can_be_saved(self) -> Self:
        if self.data.batch_size % self.optim.accumulate:
            raise ValueError(
                f"a batch of {self.data.batch_size} cannot be computed in optim.accumulate={self.optim.accumulate} "
                "equal parts; take a data.batch_size that it divides"
            )
        if self.optim.checkpoint_activations and (self.networks.norm == "batch" or self.networks.norm_floor):
            measuring = "norm=batch" if self.networks.norm == "batch" else f"norm_floor={self.networks.norm_floor:g}"
            raise ValueError(
                f"optim.checkpoint_activations would count every picture twice in the statistics of {measuring}; use "
                "networks.norm=instance without a floor, or optim.accumulate to save memory"
            )
        return self

    @model_validator(mode="after")
    def _sizes_fit_the_generator(self) -> Self:
        multiple = self.networks.size_multiple
        if self.data.crop_size % multiple:
            nearest = max(multiple, round(self.data.crop_size / multiple) * multiple)
            raise ValueError(
                f"data.crop_size={self.data.crop_size} is no multiple of {multiple}, which {self.networks.generator} "
                f"needs; use {nearest}"
            )
        if self.data.crop_size < self.networks.smallest_crop:
            raise ValueError(
                f"data.crop_size={self.data.crop_size} is too small for the {self.networks.discriminator} "
                f"discriminator, which needs {self.networks.smallest_crop}; take larger crops, or n_layers with fewer "
                "layers"
            )
        if self.schedule.lr_policy == "plateau" and self.run.validate_every_epochs > self.schedule.total_epochs:
            raise ValueError("the plateau policy needs a validation: lower run.validate_every_epochs")
        return self


def is_address(dataroot: str) -> bool:
    """Tell whether a dataset lies behind an address such as s3://bucket/horses, and not in a folder."""
    return "://" in dataroot


def merge_layers(*layers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Lay parts of configurations over each other, the later over the earlier.

    Raises:
        ConfigError: a value stands outside a part.
    """
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for part, values in layer.items():
            if not isinstance(values, Mapping):
                raise ConfigError(f"{part!r} stands outside a part; write it as [part] {part} = …; {_known_parts()}")
            merged[part] = merged.get(part, {}) | dict(values)
    return merged


def resolve_config(*layers: Mapping[str, Any]) -> TrainConfig:
    """Lay configurations over the defaults, the later over the earlier.

    Raises:
        ConfigError: a key is unknown (the nearest name is suggested) or a value is out of its range.
    """
    try:
        return TrainConfig.model_validate(merge_layers(*layers))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def _known_parts() -> str:
    return f"the parts are {', '.join(TrainConfig.model_fields)}"


def _explain(error: ValidationError) -> str:
    """Say the first thing that is wrong in one sentence."""
    detail = error.errors()[0]
    location = [str(part) for part in detail["loc"]]
    name = ".".join(location)
    if detail["type"] != "extra_forbidden":
        message = detail["msg"].removeprefix("Value error, ")
        return f"{name}: {message} (got {reprlib.repr(detail['input'])})" if len(location) > 1 else message
    if len(location) == 1:
        known, hint = list(TrainConfig.model_fields), _known_parts()
    else:
        known = list(TrainConfig.model_fields[location[0]].default.__class__.model_fields)
        hint = f"{location[0]} knows {', '.join(known)}"
    near = get_close_matches(location[-1], known, n=1)
    if near:
        hint = f"did you mean {'.'.join([*location[:-1], near[0]])}?"
    return f"the configuration has no {name}; {hint}"
