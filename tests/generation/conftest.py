import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

ROWS = [
    ("dos manzanas", {"producto": "manzana", "n": 2}),
    ("quiero tres peras y un té", {"items": [{"p": "pera", "n": 3}, {"p": "té", "n": 1}]}),
    ("nada", {}),
    ('escribe una llave } y "comillas"', {"nota": 'una } y "comillas" \\ ]'}),
    ("lista vacía por favor, gracias", []),
]


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.fixture(scope="session")
def tokenizer():
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([text + compact(value) for text, value in ROWS for _ in range(4)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def build_model(vocab_size, seed=0):
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
    )
    return Qwen3ForCausalLM(config).eval()


@pytest.fixture
def random_model(tokenizer):
    # Wider than the tokenizer, as real checkpoints are.
    return build_model(len(tokenizer) + 21)


@pytest.fixture(scope="session")
def rows():
    return ROWS


@pytest.fixture(scope="session")
def prompts(tokenizer):
    return [tokenizer.encode(f"<|im_start|>{text}\n", add_special_tokens=False) for text, _ in ROWS]


@pytest.fixture(scope="session")
def trained_model(tokenizer, prompts):
    """A model that knows the answers of ROWS by heart but goes on after them: it never learned an end token."""
    model = build_model(len(tokenizer) + 21)
    answers = [tokenizer.encode(compact(value) + "\n[0]\n[0]", add_special_tokens=False) for _, value in ROWS]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    longest = max(len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    model.train()
    for _ in range(150):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 0.02
    return model.eval()
