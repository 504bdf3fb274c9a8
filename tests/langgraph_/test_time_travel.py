"""Going back in LangGraph's threads: what is executed anew, and what is a repetition."""

from __future__ import annotations

from langgraph.types import Command, interrupt

from tests.langgraph_.graphs import CONFIG, State, counting


def test_going_back_to_an_older_checkpoint_does_it_again(saver, graph, run, ran):
    """LangGraph executes what comes after it anew, and so are tasks."""
    draw = counting(ran)

    def node(state: State) -> State:
        drawn = draw("a").result()
        return {"log": [drawn, interrupt("go on?")]}

    app = graph(node)
    run(app, {"n": 0})
    waiting = app.get_state(CONFIG).config
    assert [1, "yes"] == run(app, Command(resume="yes"))["log"]

    run(app, None, waiting)
    assert [2, "no"] == run(app, Command(resume="no"))["log"]


def test_answering_an_older_checkpoint_keeps_what_its_answers_led_to(saver, graph, run, ran):
    """LangGraph hands that execution the answers it had then, so its tasks have the results that they had."""
    draw = counting(ran)

    def node(state: State) -> State:
        return {"log": [draw("a").result(), interrupt("go on?"), draw("b").result()]}

    app = graph(node)
    run(app, {"n": 0})
    waiting = app.get_state(CONFIG).config
    first = run(app, Command(resume="yes"))["log"]

    assert [1, "yes", 2] == first == run(app, Command(resume="no"), waiting)["log"]


def test_new_input_and_changed_state_do_it_again(saver, graph, run, ran):
    """Another checkpoint is another execution."""
    draw = counting(ran)

    def node(state: State) -> State:
        drawn = draw("a").result()
        interrupt("go on?")
        return {"log": [drawn]}

    app = graph(node)
    run(app, {"n": 0})
    run(app, {"n": 1})
    app.update_state(CONFIG, {"n": 2})
    run(app, None)

    assert [3] == run(app, Command(resume="yes"))["log"]
