"""The pages of the site that are made from the code when the site is built. Not part of the wheel.

``make docs`` builds the site from ``docs/`` and these pages; `documentation.hooks` is what MkDocs calls.
"""
