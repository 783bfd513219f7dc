"""The verbs of models that see or hear, a part of Model: what they read is prepared as their preprocessor_config.json says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..data.images import pixels, read_images
from ..data.sound import frames, read_sound
from ..errors import ConfigError
from ..nn import Frames, PairSpec, Patches
from ..tasks.images import Classes, classify_images
from .engine import Engine
from .speech import read_told, transcribe
from .stop import Generation


class Senses:
    """net, tokenizer and meta are Model's; meta["preprocessor"]: what preprocessor_config.json holds."""

    net: Any
    prepared: Any
    tokenizer: Any
    _reader: Any
    meta: dict[str, Any]

    def pixels(self, images: Any) -> Tensor:
        """(B, channels, H, W) fp32, what a model that sees reads as Tokens(signal=…): the images resized, cropped and
        normalised.

        images: one or a list of names of files, Pillow images, or uint8 arrays (H, W) or (H, W, 3). Raises UserError.
        """
        reads = self._reads(Patches, "images", "ViTImageProcessor")
        return pixels(images, read_images(self.meta["preprocessor"]), reads.channels)

    def frames(self, sounds: Any) -> Tensor:
        """(B, bands, frames) fp32, what a model that hears reads as Tokens(signal=…): log-mel spectra of chunks of one length.

        sounds: one or a list of names of .wav files, or waveforms (samples,) of real numbers from −1 to 1, at the model's own
        rate (Whisper: 16 kHz). Raises UserError.
        """
        reads, how = self._reads(Frames, "sounds", "WhisperFeatureExtractor"), read_sound(self.meta["preprocessor"])
        if how.bands != reads.channels:
            raise ConfigError("feature_size does not fit this model", expected=f"{reads.channels} bands", received=str(how.bands))
        return frames(sounds, how)

    def transcribe(self, sounds: Any, *, language: str | None = None, task: str = "transcribe", max_tokens: int | None = None) -> Any:
        """What is said in a sound: a Generation, a list of them for a list of sounds. The most probable token at every step.

        sounds: as for `frames`; beyond a chunk (Whisper: 30 s) nothing is heard, with a warning. language: "en", …; None: the one
        the model hears. task: "transcribe", or "translate" into English. max_tokens None: as many as the context holds.
        Raises UserError.
        """
        heard, net = self.frames(sounds), self.prepared
        told = read_told(self.meta.get("huggingface", {}).get("generation") or {}, net.spec.vocab or 0)
        engine, start = Engine(net, hears=True), self._reader.started()
        found = transcribe(engine, self.tokenizer, told, start, self._reader.ends, heard, language, task, max_tokens)
        answers = [Generation(row.text, [*prompt, *row.ids], row.ids, row.reason or "length") for prompt, row in found]
        return answers if isinstance(sounds, list | tuple) else answers[0]

    def classify_images(self, images: Any, texts: Sequence[str] | None = None, *, top: int | None = None, batch: int = 16) -> Classes:
        """For each image its classes with their probabilities, the most probable first; `top` of them, None: all.

        The model's own classes, by its id2label; of a pair of towers `texts`, such as "a photo of a cat". batch: images at
        a time. Raises UserError.
        """
        return classify_images(self.net, self.tokenizer, self.meta, self.pixels, images, texts, top, batch)

    def _reads(self, kind: type[Patches | Frames], what: str, example: str) -> Any:
        """The input that reads such signals, once a preprocessor is known."""
        spec = self.net.spec.image if isinstance(self.net.spec, PairSpec) else self.net.spec
        reads = next(iter(spec.stacks.values())).embedding.input
        if not isinstance(reads, kind):
            raise ConfigError(f"this model reads no {what}", expected=f"a model that reads {kind.__name__.lower()}", received=f"one that reads {reads.kind}")
        if self.meta.get("preprocessor") is None:
            key = "image_processor_type" if kind is Patches else "feature_extractor_type"
            raise ConfigError(
                f"nothing says how this model's {what} are prepared", expected="preprocessor_config.json in its folder", received="none",
                change=f'set model.meta["preprocessor"] to what such a file says, as {{"{key}": "{example}"}}',
            )  # fmt: skip
        return reads
