"""State graphs. In reading order.

========== ==========================================================================================================
schema     what the user's state class says: its keys, their reducers, how a state object is built and taken apart
channels   one key of the state: what becomes of it when nodes write to it
routes     `Send`, and what a node's result is made of
layout     the graph as it was compiled: nodes, edges, branches; refuses what cannot work
nodes      a node's function as a `Plan`: what it returned becomes an update and the next nodes
walk       **the supersteps**: a pure machine from what nodes returned to the next state and the next nodes
body       the walk as the body of an entrypoint: starts the nodes of a superstep, waits, stops at breakpoints
compiled   `CompiledStateGraph`: invoke, stream and the like
========== ==========================================================================================================

A checkpoint is not a copy of the state: it is what the nodes returned, one row each, which the journal keeps anyway. The state at any
superstep follows from them; `walk` makes it for the run that goes on, and for `get_state`, so the two cannot say different things.
"""
