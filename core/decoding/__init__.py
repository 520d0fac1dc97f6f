"""One sequence of tokens: prefill, decoding, and tokens read ahead. Must not know text or sampling."""
