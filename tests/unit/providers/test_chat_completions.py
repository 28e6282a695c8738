"""What Chat Completions chunks mean, and what is no Chat Completions stream."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weir.pricing.usage import Usage
from weir.providers.chat_completions import ChatCompletionsDecoder
from weir.providers.events import (
    Finished,
    ProviderEvent,
    Reasoning,
    Refusal,
    Served,
    Text,
    ToolCall,
    UsageReported,
)
from weir.providers.failed import Failed

OBJECT = "stream chunk: expected a JSON object"


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def choice(delta: Any = None, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def decode(data: bytes, size: int = 1_000_000) -> list[ProviderEvent]:
    decoder = ChatCompletionsDecoder()
    return [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]


def test_text_refusal_model_and_finish_are_read_in_order() -> None:
    data = sse(
        {"model": "m-1"} | choice({"role": "assistant", "content": ""}),
        {"model": "m-1"} | choice({"content": "a"}),
        {"model": "m-1"} | choice({"refusal": "no"}),
        choice({}, "stop"),
    )
    assert decode(data) == [Served("m-1"), Text("a"), Refusal("no"), Finished("stop", "stop")]


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": []},
        {"choices": None},
        choice(None),
        choice({"content": None}),
        {"prompt_filter_results": []},
        {"model": 3},
        {"usage": None},
    ],
)  # fmt: skip
def test_chunks_without_text_are_passed_over(chunk: Any) -> None:
    assert decode(sse(chunk)) == []


def test_usage_is_read_from_any_chunk_and_any_nesting() -> None:
    counted = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    details = {
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert decode(sse(choice({"content": "a"}) | {"usage": counted | details})) == [
        Text("a"),
        UsageReported(Usage(9, 3, 4, 1, 12, "provider", complete=False)),
    ]
    assert decode(sse({"choices": [], "x_groq": {"usage": counted}})) == [
        UsageReported(Usage(9, 3, None, None, 12, "provider", complete=False))
    ]
    assert decode(sse({"usage": counted | {"prompt_cache_hit_tokens": 2}})) == [
        UsageReported(Usage(9, 3, 2, None, 12, "provider", complete=False))
    ]


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"data: {\n\n", None, f"{OBJECT}, got 1 characters that are not JSON"),
        (b"data: [1]\n\n", None, f"{OBJECT}, got list"),
        (b"data: " + b"[" * 100_000 + b"\n\n", None, f"{OBJECT}, got 100000 characters that are not JSON"),
        (sse({"error": {"message": "m", "code": "c"}}), "c", "m"),
        (sse({"error": {"message": "m", "type": "t"}}), "t", "m"),
        (sse({"error": "plain"}), None, "plain"),
        (b'event: error\ndata: {"error":{"message":"m","code":5}}\n\n', "5", "m"),
        (b'event: error\ndata: {"detail":1}\n\n', None, "the provider gave no message"),
    ],
)  # fmt: skip
def test_errors_and_garbage_end_the_stream(data: bytes, code: str | None, message: str) -> None:
    [failed] = decode(data + sse(choice({"content": "late"})))
    assert isinstance(failed, Failed) and (failed.message, failed.code) == (message, code)


def test_what_follows_the_terminator_is_ignored() -> None:
    decoder = ChatCompletionsDecoder()
    assert decoder.feed(b"data: [DONE]\n\n" + sse(choice({"content": "late"}))) == []
    assert decoder.terminated and not decoder.complete


def test_a_body_without_finish_reason_and_terminator_was_cut_off() -> None:
    decoder = ChatCompletionsDecoder()
    decoder.feed(sse(choice({"content": "a"})))
    assert decoder.close() == [] and not decoder.complete


@given(st.lists(st.text(min_size=1), max_size=10), st.integers(1, 30))
def test_text_is_the_same_at_any_chunking(texts: list[str], size: int) -> None:
    data = sse(*(choice({"content": text}) for text in texts))
    assert decode(data, size) == [Text(text) for text in texts]


@given(st.binary(max_size=200), st.integers(1, 20))
def test_any_bytes_give_events_and_never_an_exception(data: bytes, size: int) -> None:
    assert decode(b"data: " + data + b"\n\n", size) == decode(b"data: " + data + b"\n\n")


def whole(data: bytes) -> tuple[list[ProviderEvent], ChatCompletionsDecoder]:
    """The events of a body to its end, and the decoder."""
    decoder = ChatCompletionsDecoder()
    return [*decoder.feed(data), *decoder.close()], decoder


def part(content: Any) -> dict[str, Any]:
    return choice({"content": content})


@pytest.mark.parametrize(
    ("chunk", "events"),
    [
        # A content that is text, parts, or one part.
        (part([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), [Text("a"), Text("b")]),
        (part([{"text": "a"}, "b"]), [Text("a"), Text("b")]),
        (part({"type": "output_text", "text": "a"}), [Text("a")]),
        (part([{"type": "text", "text": {"value": "a", "annotations": []}}]), [Text("a")]),
        (part([{"type": "thinking", "thinking": "h"}, {"type": "text", "text": "a"}]), [Reasoning("h"), Text("a")]),
        (part([{"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]}]), [Reasoning("hm")]),
        (part([{"type": "reasoning", "text": "h"}]), [Reasoning("h")]),
        (part([{"type": "reference", "reference_ids": [1]}, {"type": "image_url", "image_url": "x"}]), []),
        (part([{"type": "refusal", "refusal": "no"}]), [Refusal("no")]),
        # The choice, wherever its text stands.
        ({"choices": [{"index": None, "delta": {"content": "a"}}]}, [Text("a")]),
        ({"choices": [{"index": 0.0, "delta": {"content": "a"}}]}, [Text("a")]),
        ({"choices": [{"index": 3, "delta": {"content": "a"}}]}, [Text("a")]),  # the only one is the one
        ({"choices": [{"delta": "a"}]}, [Text("a")]),
        ({"choices": [{"text": "a"}]}, [Text("a")]),
        ({"choices": [{"delta": None, "message": {"content": "a"}}]}, [Text("a")]),
        ({"choices": [{"delta": {}, "message": {"content": "a"}}]}, [Text("a")]),
        ({"choices": [{"delta": {"content": "a"}, "message": {"content": "a"}, "text": "a"}]}, [Text("a")]),
        # Thoughts by every name.
        (choice({"reasoning_content": "h"}), [Reasoning("h")]),
        (choice({"reasoning": "h", "reasoning_details": [{"text": "h"}]}), [Reasoning("h")]),
        (choice({"content": "a", "reasoning": {"text": "h"}}), [Text("a"), Reasoning("h")]),
        # Calls of tools.
        (choice({"content": None, "tool_calls": [{"index": 1, "id": "c", "function": {"name": "f", "arguments": ""}}]}),
         [ToolCall(1, "c", "f", "")]),
        (choice({"tool_calls": [{"function": {"arguments": "{}"}}]}), [ToolCall(0, None, None, "{}")]),
        (choice({"function_call": {"name": "f", "arguments": "{}"}}), [ToolCall(0, None, "f", "{}")]),
    ],
)  # fmt: skip
def test_text_is_found_in_every_shape(chunk: Any, events: list[ProviderEvent]) -> None:
    assert decode(sse(chunk)) == events


@pytest.mark.parametrize(
    "chunk",
    [
        part([{"type": "hologram", "text": "a"}]),
        part([{"type": "text", "text": 5}]),
        part([5]),
        part(5),
        {"choices": ["a"]},
        {"choices": {"0": {"delta": {"content": "a"}}}},
        {"choices": [{"delta": ["a"]}]},
        {"response": "a"},
        {"choices": [], "content": "a"},
        {"delta": "a"},
    ],
)  # fmt: skip
def test_a_shape_that_may_hold_text_and_cannot_be_read_is_an_error_and_no_hole(chunk: Any) -> None:
    [failed] = decode(sse(chunk))
    assert isinstance(failed, Failed) and failed.kind == "unreadable"
    assert "expected" in failed.message and "got" in failed.message


def test_of_several_choices_the_first_is_read() -> None:
    chunks = sse(
        choice({"content": "a"}),
        choice({"content": "x"}, index=1),
        choice({"content": "b"}),
        choice({}, "stop", index=1),
    )
    decoder = ChatCompletionsDecoder()
    assert decoder.feed(chunks) == [Text("a"), Text("b")]
    assert decoder.finish is None


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("stop", "stop"), ("STOP", "stop"), ("eos", "stop"), ("end_turn", "stop"), ("length", "length"), ("max_tokens", "length"),
        ("model_length", "length"), ("content_filter", "filtered"), ("tool_calls", "tool"), ("function_call", "tool"),
        ("error", "error"), ("something new", "other"), (7, "other"),
    ],
)  # fmt: skip
def test_finish_reasons_have_one_set_of_words(raw: Any, normal: str) -> None:
    decoder = ChatCompletionsDecoder()
    decoder.feed(sse(choice({"content": "a"}), choice({}, raw)))
    assert decoder.finish == Finished(normal, str(raw)) and decoder.complete  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", ["", None, "null"])
def test_an_empty_finish_reason_is_none(raw: str | None) -> None:
    assert decode(sse(choice({}, raw))) == []


def test_text_after_a_finish_reason_voids_it_until_the_end_mark() -> None:
    said = sse(choice({"content": "a"}, "stop"), choice({"content": "b"}, "stop"))
    assert not whole(said)[1].complete
    assert whole(said + sse({"choices": [], "usage": USAGE}))[1].complete  # so does the whole's usage
    events, decoder = whole(said + b"data: [DONE]\n\n")
    assert decoder.complete and [event.text for event in events if isinstance(event, Text)] == ["a", "b"]


USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


@pytest.mark.parametrize(
    ("chunks", "complete"),
    [
        ([choice({"content": "a"}), choice({}, "stop"), {"choices": [], "usage": USAGE}], True),
        ([choice({"content": "a"}), choice({}, "stop") | {"usage": USAGE}], True),
        ([choice({"content": "a"}) | {"usage": USAGE}, choice({}, "stop")], True),  # nothing came after it
        ([choice({"content": "a"}), {"choices": [], "usage": USAGE}], True),  # of its own, behind the text
        ([choice({"content": ""}) | {"usage": USAGE}, choice({"content": "a"})], False),
        ([choice({"content": "a"}) | {"usage": USAGE}], False),
        ([{"choices": [], "usage": USAGE}, choice({"content": "a"}), choice({}, "stop")], False),
    ],
)  # fmt: skip
def test_counts_are_the_whole_only_where_nothing_came_after_them(chunks: list[Any], complete: bool) -> None:
    usages = [event.usage for event in decode(sse(*chunks)) if isinstance(event, UsageReported)]
    assert usages[-1].complete is complete


@pytest.mark.parametrize(
    "chunk",
    [
        {"usage": USAGE},
        {"usage": None, "x_groq": {"usage": USAGE}},
        {"choices": [{"delta": {"content": "a"}, "usage": USAGE}]},
        {"choices": [], "timings": {"prompt_n": 9, "predicted_n": 3}},
    ],
)  # fmt: skip
def test_usage_is_read_wherever_servers_put_it(chunk: Any) -> None:
    [usage] = [event.usage for event in decode(sse(chunk)) if isinstance(event, UsageReported)]
    assert (usage.input_tokens, usage.output_tokens) == (9, 3)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 8}},
         (10, 10, None)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 20}, (10, 10, None)),  # Gemini's imitation
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "completion_tokens_details": {"reasoning_tokens": 8}},
         (10, 2, None)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 102, "cache_read_input_tokens": 90}, (100, 2, 90)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "cached_tokens": 8}, (10, 2, 8)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": None}}, (10, 2, None)),
        ({"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}, (10, 2, None)),
    ],
)  # fmt: skip
def test_what_the_total_has_beside_the_two_was_counted_outside_of_them(usage: Any, counts: Any) -> None:
    [read] = [
        event.usage
        for event in decode(sse({"choices": [], "usage": usage}))
        if isinstance(event, UsageReported)
    ]
    assert (read.input_tokens, read.output_tokens, read.cached_input_tokens) == counts
    assert read.total_tokens == usage.get("total_tokens") and not read.inconsistent


def test_cache_writes_are_kept_by_their_durations() -> None:
    details = {
        "cached_tokens": 100,
        "cache_write_tokens": 4900,
        "cache_write_tokens_details": {"ttl_30m_tokens": 900, "ttl_12h_tokens": 4000},
    }
    usage = {
        "prompt_tokens": 5000,
        "completion_tokens": 2,
        "total_tokens": 5002,
        "prompt_tokens_details": details,
    }
    [read] = [
        event.usage
        for event in decode(sse({"choices": [], "usage": usage}))
        if isinstance(event, UsageReported)
    ]
    assert (read.cache_write_tokens, read.cache_write_30m_tokens, read.cache_write_12h_tokens) == (
        4900,
        900,
        4000,
    )


def test_who_serves_is_told_when_it_changes() -> None:
    one = {"model": "m", "service_tier": "flex"}
    assert decode(sse(one | choice({"content": "a"}), one | choice({"content": "b"}), {"model": ""} | choice({}))) == [
        Served("m", "flex"), Text("a"), Text("b"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "chunk",
    [
        {"error": {"message": "m"}} | choice({"content": ""}, "error"),
        {"object": "error", "message": "m", "code": 500},
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "m"}},
        {"x_groq": {"error": "m"}, "choices": []},
        {"detail": "m"},
        {"choices": [{"error": {"message": "m", "code": 502}, "finish_reason": "error"}]},
        {"success": False, "errors": [{"code": 7009, "message": "m"}], "result": None},
        {"error_code": 17, "error_msg": "m"},
        {"status": "error", "reason": "m"},
        {"fault": {"faultstring": "m", "detail": {"errorcode": "x"}}},
        {"message": "m"},
        {"errors": [{"message": "m"}]},
        [{"error": {"message": "m"}}],
    ],
)  # fmt: skip
def test_an_object_that_looks_like_an_error_is_one(chunk: Any) -> None:
    events = decode(sse(choice({"content": "a"}), chunk, choice({"content": "late"})))
    assert [event.message for event in events if isinstance(event, Failed)] == ["m"]
    assert [event.text for event in events if isinstance(event, Text)] == ["a"]


def test_an_answer_that_talks_of_errors_is_none() -> None:
    events = decode(sse({"error": None, "base_resp": {"status_code": 0}} | choice({"content": "error"})))
    assert events == [Text("error")]


COMPLETION = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
    "usage": USAGE,
}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(COMPLETION).encode(),
        b"\xef\xbb\xbf \n" + json.dumps(COMPLETION, indent=2).encode(),
        b"\n".join(json.dumps(line).encode() for line in ({"choices": [{"delta": {"content": "a"}}]}, choice({}, "stop"))),
        b"data: " + json.dumps(COMPLETION).encode(),  # and no line end
        b"data: data: " + json.dumps(COMPLETION).encode() + b"\n\n",  # framed twice
    ],
)  # fmt: skip
def test_a_body_is_read_by_what_it_holds(body: bytes) -> None:
    for size in (1, 7, len(body)):
        decoder = ChatCompletionsDecoder()
        events = [event for at in range(0, len(body), size) for event in decoder.feed(body[at : at + size])]
        assert Text("a") in [*events, *decoder.close()] and decoder.complete


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "m", "code": 429}}', "m"),
        (b'{\n  "error": {\n    "message": "m"\n  }\n}\n', "m"),
        (b'[{"error": {"message": "m"}}]', "m"),
        (b"<html><title>m</title></html>", "m"),
        (b"no healthy upstream", "no healthy upstream"),
        (b'data: {"choices":[]}\n\n{"error":{"message":"m"}}\n\n', "m"),
        (b'data: {"choices":[]}\n\n{"error":{"message":"m"}}', "m"),
    ],
)  # fmt: skip
def test_an_error_where_a_stream_is_due_is_relayed(body: bytes, message: str) -> None:
    for size in (1, 7, len(body)):
        decoder = ChatCompletionsDecoder()
        events = [event for at in range(0, len(body), size) for event in decoder.feed(body[at : at + size])]
        [failed] = [*events, *decoder.close()]
        assert isinstance(failed, Failed) and failed.message == message and not decoder.complete


def test_an_error_is_told_before_the_body_ends() -> None:
    """Some servers leave the connection open behind it."""
    assert isinstance(ChatCompletionsDecoder().feed(b'{"error": {"message": "m"}}')[0], Failed)


@pytest.mark.parametrize(
    "event",
    [b"event: ping\ndata: pong\n\n", b"data:\n\n", b"data: \n\n", b": comment\n\n", b"event: ping\n\n"],
)
def test_what_keeps_the_connection_alive_is_passed_over(event: bytes) -> None:
    assert decode(event + sse(choice({"content": "a"}))) == [Text("a")]


@pytest.mark.parametrize(
    ("pieces", "texts", "replaced"),
    [
        (["\ud83d", "\ude00"], ["😀"], 0),
        (["a\ud83d", "", "\ude00b"], ["a", "😀b"], 0),
        (["\ud83d", "b"], ["\ufffdb"], 1),
        (["\ude00b"], ["\ufffdb"], 1),
        (["a\ud83d"], ["a", "\ufffd"], 1),  # nothing comes after it
        (["\ufffd"], ["\ufffd"], 0),  # the model's own
    ],
)  # fmt: skip
def test_text_is_always_what_utf_8_can_say(pieces: list[str], texts: list[str], replaced: int) -> None:
    data = sse(*(choice({"content": piece}) for piece in pieces), choice({}, "stop"))
    events, decoder = whole(data)
    assert [event.text for event in events if isinstance(event, Text)] == texts
    assert decoder.replaced == replaced
    assert isinstance(events[-1], Finished)


def test_invalid_utf_8_is_replaced_and_flagged() -> None:
    _, decoder = whole(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n')
    assert decoder.replaced == 1


def test_events_over_the_bound_are_an_error() -> None:
    decoder = ChatCompletionsDecoder(max_event_bytes=100)
    [failed] = decoder.feed(b"data: " + b"x" * 200)
    assert isinstance(failed, Failed) and "at most 100 bytes" in failed.message
    decoder = ChatCompletionsDecoder(max_event_bytes=100)
    [failed] = decoder.feed(b"{" + b"x" * 200)
    assert isinstance(failed, Failed) and "over 100 bytes" in failed.message


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_two_lines_of_data_are_one_event_or_two(line_end: bytes) -> None:
    one = b'data: {"choices":' + line_end + b'data: [{"delta":{"content":"a"}}]}' + line_end * 2
    two = (
        sse(choice({"content": "a"})).strip()
        + line_end
        + sse(choice({"content": "b"})).strip()
        + line_end * 2
    )
    assert decode(one) == [Text("a")]
    assert decode(two) == [Text("a"), Text("b")]


@pytest.mark.parametrize(
    "end",
    [
        b"data: [DONE]",
        b"data:[DONE]\n\n",
        b"data: [DONE] \n\n",
        b"data: [done]\n\n",
        b"data:  [DONE]\r\n\r\n",
    ],
)
def test_the_end_mark_is_one_however_it_is_written(end: bytes) -> None:
    events, decoder = whole(sse(choice({"content": "a"}), choice({}, "stop")) + end)
    assert decoder.complete and not any(isinstance(event, Failed) for event in events)


def test_an_event_framed_ten_thousand_times_is_no_crash() -> None:
    assert isinstance(decode(b"data:" * 10_000 + b" {\n\n")[0], Failed)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"event: error\ndata: upstream went away\n\n", "server"),
        (b"data: Error: rate limit exceeded\n\n", "rate_limited"),
        (b"data: internal error\n\n", "server"),
        (b"data: Once upon a time\n\n", "unreadable"),
    ],
)
def test_an_error_in_words_is_relayed_and_other_text_is_no_chunk(data: bytes, kind: str) -> None:
    [failed] = decode(data)
    assert isinstance(failed, Failed) and failed.kind == kind
    assert (failed.message in data.decode()) is (kind != "unreadable")


class ReadsEachChunk(ChatCompletionsDecoder):
    """Without the shorter way for a chunk that differs from the one before by its text alone."""

    _object = ChatCompletionsDecoder._chunk


# Of each chunk a part is as in the one before, or is not: whatever may stand beside a text, or in its place.
CHUNKS = st.builds(
    lambda text, beside, of_choice, of_chunk: {
        "id": "1", "model": "m", **of_chunk,
        "choices": [{"index": 0, **of_choice, "delta": {"content": text, **beside}}],
    },
    st.sampled_from(["a", "b", "", "\ud83d", "\ude00", None, ["c"], {"text": "d"}]),
    st.sampled_from([{}, {}, {"role": "assistant"}, {"reasoning": "r"}, {"refusal": "n"}, {"tool_calls": [{"id": "t"}]}]),
    st.sampled_from([{}, {}, {"finish_reason": None}, {"finish_reason": "stop"}, {"index": 1}, {"usage": {"prompt_tokens": 1}},
                     {"index": False}, {"error": {"message": "no"}}, {"logprobs": {"content": []}}]),
    st.sampled_from([{}, {}, {"obfuscation": "x"}, {"obfuscation": "yy"}, {"model": "n"}, {"usage": None},
                     {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}, {"error": 0}, {"error": "no"},
                     {"service_tier": "flex"}, {"timings": {"prompt_n": 3}}, {"x_groq": {"usage": {"prompt_tokens": 1}}},
                     {"type": "error"}, {"base_resp": {"status_code": 1}}]),
)  # fmt: skip
EVENTS = st.sampled_from([b"", b"", b"", b"event: error\n", b"event: message\n"])


@example([(b"", choice({"content": "a"}), 2), (b"event: error\n", choice({"content": "a"}), 1)], 200)
@given(st.lists(st.tuples(EVENTS, CHUNKS, st.integers(1, 3)), max_size=8), st.integers(1, 200))
def test_a_chunk_that_differs_by_its_text_alone_says_what_it_says_when_it_is_read(
    chunks: list[tuple[bytes, dict[str, Any], int]], size: int
) -> None:
    data = b"".join((event + sse(chunk)) * times for event, chunk, times in chunks) + b"data: [DONE]\n\n"
    short, plain = ChatCompletionsDecoder(), ReadsEachChunk()
    for at in range(0, len(data), size):
        part = data[at : at + size]
        assert short.feed(part) == plain.feed(part)
    assert short.close() == plain.close()
    assert (short.complete, short.finish, short.replaced) == (plain.complete, plain.finish, plain.replaced)
