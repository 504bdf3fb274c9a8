"""Keys, codecs and sealed records: how values become bytes, exactly and safely.

``canonical`` and ``fingerprint`` name values and code; ``codec`` stores values and gets them back; ``envelope`` and ``secret`` guard the
bytes. Nothing is imported here, so that ``import holdfast`` stays light: import the module you need.
"""
