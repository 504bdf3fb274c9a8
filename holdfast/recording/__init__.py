"""Records what a cache is asked for and what its source answers, so that its times to live can be chosen from evidence.

Theory of operation. An `Attendant` looks after the cache in one folder. A hit is counted, always; its time is kept unless the same key's last kept
one is less than `taps.RESOLUTION` ago, which takes no more than a comparison. Times and answers wait in lists, and a thread of the process, which
looks once a second, packs them into ``recording.db`` beside the cache (`store`). So a call never waits for that file, and a crash loses a second.

What is kept of a task that is asked for often is thinned by key, all or nothing: by then a smaller and smaller share of its keys is kept, chosen by
their hash (SHARDS, FAST 2015), which keeps the gaps between a key's accesses as they were. Of single accesses, chosen at random, that could not
be said. The counts of a task are never thinned, and set the sample right. The keys that it is asked for most are kept beside the sample (`hot`).

A key is known by 64 bits of a hash that is salted with the user's secret, which is not in the folder.
"""

from __future__ import annotations
