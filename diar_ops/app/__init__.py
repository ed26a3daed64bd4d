"""The page in the browser: ``diar-ops app``, on Gradio, behind the extra ``app``."""
