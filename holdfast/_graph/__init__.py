"""State graphs. In reading order.

========== ==========================================================================================================
builder    `StateGraph`: collects nodes and edges
schema     what the user's state class says: its keys, their reducers, how a state object is built and taken apart
channels   one key of the state: what becomes of it when nodes write to it
routes     `Send`, and what a node's result is made of
layout     the edges as they were drawn; refuses what cannot work
nodes      a node's function as a `Plan`: what it returned becomes an update and the next nodes
parts      all of that, compiled and frozen
walk       **the supersteps**: a pure machine from what nodes wrote to the next state and the next nodes
body       the walk as the body of a run: starts the nodes of a superstep, waits, stops at breakpoints
kept       what a checkpointer keeps of it, and how
past       the walk of a recorded run, made again
opening    which run is gone on with, or from which checkpoint a new one begins
states     `get_state`, the history and `update_state`; `shown` makes their snapshots
compiled   `CompiledStateGraph`: invoke, stream and the like
picture    Mermaid text, and with `letters` an ASCII picture
========== ==========================================================================================================

A checkpoint is not a copy of the state: it is what the nodes returned, one row each, which the journal keeps anyway. The state at any
superstep follows from them; `walk` makes it for the run that goes on, and for `get_state`, so the two cannot say different things.
"""
