"""A model of random weights as a GGUF file, for `make test-llama-cpp`: it knows nothing, and answers all the same.

    .venv-llama-cpp/bin/python tests/peers/random_llama.py FILE

One layer, a vocabulary of bytes; the same file at every run. What it writes is noise, which a grammar makes JSON of.
"""

import sys

import gguf
import numpy

CONTEXT, EMBEDDING, HEADS, FORWARD = 8_192, 64, 4, 128
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "
KINDS = gguf.TokenType


def write(path: str) -> None:
    """Write the model."""
    random = numpy.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    tokens = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([KINDS.UNKNOWN, KINDS.CONTROL, KINDS.CONTROL, *[KINDS.BYTE] * 256])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    shapes = {
        "token_embd": (len(tokens), EMBEDDING),
        "output": (len(tokens), EMBEDDING),
        "blk.0.attn_q": (EMBEDDING, EMBEDDING),
        "blk.0.attn_k": (EMBEDDING, EMBEDDING),
        "blk.0.attn_v": (EMBEDDING, EMBEDDING),
        "blk.0.attn_output": (EMBEDDING, EMBEDDING),
        "blk.0.ffn_gate": (FORWARD, EMBEDDING),
        "blk.0.ffn_up": (FORWARD, EMBEDDING),
        "blk.0.ffn_down": (EMBEDDING, FORWARD),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.05, shape).astype(numpy.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", numpy.ones(EMBEDDING, numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
