"""Answers the prompts of a job with one engine, in a process of its own; run by the Python that has the engine.

    python engine_worker.py lit_llm|guesses|transformers|continuous|llama.cpp|openvino|mistralrs job.json

The job names the ``model`` (a GGUF file, or a folder), ``prompts`` as text, the ``limit`` in tokens, how many are in
flight (``load``) and ``threads``. What was measured is printed as one line of JSON.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


class Torch:
    """A folder of transformers with prompts as token ids."""

    def __init__(self, model: str, load: int, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(threads)
        self.load = load
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model, padding_side="left")
        self.model: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, **self.settings).eval()

    settings: dict[str, Any] = {}  # noqa: RUF012

    def ids(self, prompts: list[str]) -> list[list[int]]:
        """Return the tokens of prompts, which hold their control tokens."""
        return [self.tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]


class LitLlm(Torch):
    """This project's engine."""

    guesses = False

    def answer(self, prompts: list[str], limit: int) -> list[str]:
        """Return the texts of all prompts."""
        from lit_llm.generation import Generator, Lookup, generate_rows

        if not hasattr(self, "draft"):
            self.draft = Lookup() if self.guesses else None
        generator = Generator(max_new_tokens=limit, draft=self.draft)
        rows = generate_rows(generator, self.model, self.tokenizer, self.ids(prompts), batch_size=self.load)
        return [row.text for row in rows]


class Guesses(LitLlm):
    """This project's engine, with tokens guessed from other answers."""

    guesses = True


class Generate(Torch):
    """transformers' ``generate``, in batches in the order of the prompts."""

    def answer(self, prompts: list[str], limit: int) -> list[str]:
        """Return the texts of all prompts."""
        import torch

        texts: list[str] = []
        for at in range(0, len(prompts), self.load):
            inputs = self.tokenizer(
                prompts[at : at + self.load], return_tensors="pt", padding=True, add_special_tokens=False
            )
            with torch.inference_mode():
                output = self.model.generate(**inputs, max_new_tokens=limit, do_sample=False)
            new = output[:, inputs["input_ids"].shape[1] :]
            texts += [str(text) for text in self.tokenizer.batch_decode(new, skip_special_tokens=True)]
        return texts


class Continuous(Torch):
    """transformers' continuous batching; its defaults take most of a machine's memory, so its sizes are set."""

    settings: dict[str, Any] = {"attn_implementation": "sdpa"}  # noqa: RUF012

    def answer(self, prompts: list[str], limit: int) -> list[str]:
        """Return the texts of all prompts."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        own = self.model.generation_config
        config = GenerationConfig(
            max_new_tokens=limit, do_sample=False, eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id
        )
        sizes = ContinuousBatchingConfig(num_blocks=256, max_batch_tokens=256, page_size=32)
        found = self.model.generate_batch(
            self.ids(prompts), generation_config=config, continuous_batching_config=sizes, progress_bar=False
        )
        rows = sorted(found.values(), key=lambda row: int(str(row.request_id).rpartition("_")[2]))
        return [str(self.tokenizer.decode(row.generated_tokens, skip_special_tokens=True)) for row in rows]


class LlamaCpp:
    """llama.cpp's server over HTTP on this machine, with keys and values in float32."""

    def __init__(self, model: str, load: int, threads: int) -> None:
        from transformers import AutoTokenizer

        from lit_llm.llama_cpp import Engine

        folder = Path(model).parent / "merged"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.load = load
        self.engine = Engine(Path(model), context=load * 1024, threads=threads, parallel=load)

    def answer(self, prompts: list[str], limit: int) -> list[str]:
        """Return the texts of all prompts, ``load`` of them asked at a time."""

        def ask(prompt: str) -> str:
            ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
            return str(self.tokenizer.decode(self.engine.write(ids, limit), skip_special_tokens=True))

        with ThreadPoolExecutor(self.load) as pool:
            return list(pool.map(ask, prompts))


class OpenVino:
    """openvino-genai, in float32 whatever the weights are stored in."""

    def __init__(self, model: str, load: int, threads: int) -> None:
        import openvino_genai

        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        settings["KV_CACHE_PRECISION"] = "f32"
        if load > 1:
            scheduler = openvino_genai.SchedulerConfig()
            scheduler.max_num_seqs, scheduler.cache_size = load, 1
            settings["scheduler_config"] = scheduler
        self.kind = openvino_genai.GenerationConfig
        self.pipeline: Any = openvino_genai.LLMPipeline(model, "CPU", **settings)

    def answer(self, prompts: list[str], limit: int) -> list[str]:
        """Return the texts of all prompts."""
        config = self.kind(max_new_tokens=limit, do_sample=False, apply_chat_template=False)
        if len(prompts) == 1:
            return [str(self.pipeline.generate(prompts[0], config))]
        return [str(text) for text in self.pipeline.generate(prompts, config).texts]


class MistralRs:
    """mistral.rs, with keys and values in float32 too; its Python class takes one request at a time."""

    def __init__(self, model: str, load: int, threads: int) -> None:
        import mistralrs

        self.kind = mistralrs.CompletionRequest
        which = mistralrs.Which.Plain(model_id=model, dtype=mistralrs.ModelDType.F32)
        self.runner: Any = mistralrs.Runner(which=which, max_seqs=load, prefix_cache_n=0, no_paged_attn=True)

    def answer(self, prompts: list[str], limit: int) -> list[str]:
        """Return the texts of all prompts."""
        requests = [self.kind(prompt, "default", max_tokens=limit, temperature=0.0, top_k=1) for prompt in prompts]
        return [str(self.runner.send_completion_request(request).choices[0].text) for request in requests]


ENGINES: dict[str, Any] = {
    "lit_llm": LitLlm,
    "guesses": Guesses,
    "transformers": Generate,
    "continuous": Continuous,
    "llama.cpp": LlamaCpp,
    "openvino": OpenVino,
    "mistralrs": MistralRs,
}


def most_resident() -> float:
    """Return the most MiB of this process that have lain in memory (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measured(make: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Return texts and seconds."""
    prompts, limit, load = job["prompts"], job["limit"], job["load"]
    start = time.perf_counter()
    engine = make(job["model"], load, job["threads"])
    engine.answer(prompts[:load], limit)
    found: dict[str, Any] = {"start": time.perf_counter() - start}
    start = time.perf_counter()
    # Alone, one after the other, as from one person; else all are waiting.
    groups = [[prompt] for prompt in prompts] if load == 1 else [prompts]
    found["texts"] = [text for group in groups for text in engine.answer(group, limit)]
    found["seconds"] = time.perf_counter() - start
    if load == 1:
        start = time.perf_counter()
        for prompt in prompts:
            engine.answer([prompt], 1)
        found["first"] = (time.perf_counter() - start) / len(prompts)
    found["resident"] = most_resident()
    return found


def main() -> None:
    """Do the job."""
    job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    # Libraries print what they please; the answer goes where it was asked for.
    out = os.dup(1)
    os.dup2(2, 1)
    found = measured(ENGINES[sys.argv[1]], job)
    os.write(out, json.dumps(found).encode() + b"\n")


if __name__ == "__main__":
    main()
