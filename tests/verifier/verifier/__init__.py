"""A second verifier of evidence packages, written from docs/reference/evidence-package.md alone.

It shares no code with the product's. Read in this order: package (what is there), canonical and schema (what is
stated), sm3, sm2, der, x509 and cms (who signed it), tree and segment (how media is bound), checks (what holds).
Only the standard library is used; SM3 is OpenSSL's where Python's has it.
"""
