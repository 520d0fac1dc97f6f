"""What a transformer layer is made of: attention, rope, norms, feed-forward, and taps to look in. Must not know the KV
cache, the transformer that stacks the layers, or a backend.
"""
