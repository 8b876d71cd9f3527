"""Networks: tensors in, logits out. No window, cache, padding, ground truth or merge lives here.

Parameter names are the official checkpoint keys, even where they are ugly.
"""
