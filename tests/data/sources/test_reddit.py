"""Reddit dumps: stories with their prompts, and test prompts."""

from __future__ import annotations

import json

import pytest
import zstandard

from curate.data.sources.reddit import story


def submission(id, score=50, subreddit="WritingPrompts", **about):
    title = "[WP] A dragon opens a bakery." if subreddit == "WritingPrompts" else "What is your quiet joy?"
    return {"id": id, "score": score, "subreddit": subreddit, "title": title, "selftext": "", **about}


def comment(id, link, score=30, **about):
    texts = {"body": "Once upon a time a dragon sold bread.", "author": "someone", "subreddit": "WritingPrompts"}
    return {"id": id, "link_id": f"t3_{link}", "parent_id": f"t3_{link}", "score": score, **texts, **about}


@pytest.fixture
def dump(tmp_path):
    def write(*records, name="RS_2019-04.zst"):
        path = tmp_path / name
        path.write_bytes(zstandard.compress(b"\n".join(json.dumps(record).encode() for record in records)))
        return path

    return write


def dropped(report):
    assert report["read"] == report["used"] + sum(report["dropped"].values())
    return report["dropped"]


def test_a_prompt_and_its_best_story(extract, dump):
    """Submissions and comments may stand in one file or two, in any order."""
    comments = [comment("c1", "a"), comment("c2", "a", 40, body="There was a dragon."), comment("c3", "a", 40)]
    result = extract("reddit", [dump(*comments, name="RC_2019-04.zst"), dump(submission("a"))])
    assert result.rows == [
        {
            "messages": [
                {"role": "user", "content": "A dragon opens a bakery."},
                {"role": "assistant", "content": "There was a dragon."},
            ],
            "id": "reddit:a",
            "source": "reddit",
            "subreddit": "WritingPrompts",
            "submission_score": 50,
            "comment_id": "c2",
            "comment_score": 40,
            "licence": None,
            "url": "https://www.reddit.com/comments/a",
        }
    ]
    assert dropped(result.report) == {"comment.not_top": 2}
    assert extract("reddit", dump(*comments, submission("a"), name="both.zst")).rows == result.rows


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (comment("c", "a", 9), "comment.low_score"),
        (comment("c", "a", parent_id="t1_b"), "comment.reply"),
        (comment("c", "a", body="[deleted]"), "comment.removed"),
        (comment("c", "a", author="AutoModerator"), "comment.removed"),
        (comment("c", "a", stickied=True), "comment.removed"),
        (comment("c", "a", body="As mentioned above, no."), "comment.references"),
        (comment("c", "zz"), "comment.other_submission"),
        (submission("b", 9), "submission.low_score"),
        (submission("b", title="[OT] A chat"), "submission.no_prompt"),
        (submission("b"), "submission.no_comment"),
        (submission("b", subreddit="pics"), "record.other_subreddit"),
        (submission("not base 36!"), "unreadable"),
        (submission("a"), "submission.repeated"),
        ({"subreddit": "WritingPrompts"}, "unreadable"),
        (["no object"], "unreadable"),
    ],
)
def test_each_rule(extract, dump, record, rule):
    """A record is counted under the rule, and the good pair beside it is a row."""
    result = extract("reddit", dump(record, submission("a"), comment("d", "a")))
    assert dropped(result.report) == {rule: 1}
    assert len(result.rows) == 1


def test_the_best_submissions_come_first_and_the_quota_is_counted(extract, dump):
    """By score, then the older; what is left over is counted on both sides."""
    ids = ["a", "b", "c", "d"]
    records = [submission(id, score) for id, score in zip(ids, [20, 40, 30, 40], strict=True)]
    result = extract("reddit", dump(*records, *(comment(f"{id}1", id) for id in ids)), count=3)
    assert [row["id"] for row in result.rows] == ["reddit:b", "reddit:d", "reddit:c"]
    assert dropped(result.report) == {"comment.over_quota": 1, "submission.over_quota": 1}
    many = [submission(f"{n:x}", 10 + n) for n in range(50)]
    assert dropped(extract("reddit", dump(*many, comment("c1", "31")), count=1).report) == {
        "submission.no_comment": 19, "submission.over_quota": 30,
    }  # fmt: skip


def test_titles_of_askreddit_are_test_prompts(extract, dump):
    """A title that asks and has no body is a prompt without an answer; its tag goes."""
    records = [
        submission("a", subreddit="AskReddit", title="[Serious] What is your quiet joy?"),
        submission("b", subreddit="AskReddit", title="Tell me a story."),
        submission("c", subreddit="AskReddit", selftext="I mean this one"),
        submission("d"),
    ]
    result = extract("reddit", dump(*records), subreddit="AskReddit")
    assert [row["messages"] for row in result.rows] == [[{"role": "user", "content": "What is your quiet joy?"}]]
    assert dropped(result.report) == {
        "record.other_subreddit": 1, "submission.has_body": 1, "submission.no_question": 1,
    }  # fmt: skip


def test_a_window_of_two_gigabytes_is_read(extract, tmp_path):
    """Pushshift packs with --long=31, which the zstd library refuses unless it is told."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    data = b"\n".join(json.dumps(record).encode() for record in (submission("a"), comment("c", "a")))
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()  # no size in the frame
    path = tmp_path / "RS.zst"
    path.write_bytes(packer.compress(data) + packer.flush())
    assert len(extract("reddit", path).rows) == 1


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("It was.\n\n---\nMore at /r/mystories!\nEdit: thanks for gold", "It was.\n\n---"),
        ("A [word](https://x.org) fell.", "A  fell."),
        ("Rock &amp; roll", "Rock & roll"),
        ("[removed]", ""),
        ("He edited: a book.", "He edited: a book."),
    ],
)
def test_what_goes_from_a_story(body, left):
    """Links, lines that name a subreddit, and edits go."""
    assert story(body) == left


@pytest.mark.parametrize("unit", ["[", "[](https://", "\n", " \n", "*\n", "www.", "&#", "r/", "edit "])
def test_long_broken_markup_is_survived(unit):
    """One opening after another ends soon: the time is linear."""
    assert len(story(f"x{unit * 100_000}x")) < 1_000_000


def test_a_dump_of_other_subreddits_is_said(extract, dump):
    """Nought rows of another subreddit's records are no silent success."""
    report = extract("reddit", [dump(submission("a", subreddit="AskReddit"))]).report
    assert report["rows"] == 0
    assert any("no record is of r/WritingPrompts" in note for note in report["notes"])
    assert not extract("reddit", [dump(submission("a"))]).report["notes"]
