"""What a certificate measures, and how. ``estimators.certify`` puts it together.

``record`` and ``picture`` do not import torch: a service shows stored certificates with them.
"""
