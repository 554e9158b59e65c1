"""Calls of every kind to TARGET by segment-analytics-python, as its users make them: by its queue, with gzip, and one by one."""

import os
import sys

from segment import analytics

analytics.write_key = os.environ["WRITE_KEY"]
analytics.host = os.environ["TARGET"]
failed = []
analytics.on_error = lambda error, _: failed.append(error)

USER = "of-python"
analytics.identify(USER, {"plan": "pro", "colours": ["red", 7]})
analytics.page(USER, None, "Home", {"url": "https://shop.example.com/"})
analytics.screen(USER, None, "Start")
analytics.group(USER, "acme")
analytics.alias("of-python-before", USER)
for amount in range(1, 41):
    analytics.track(USER, "Order Paid", {"amount": amount})
analytics.flush()

analytics.shutdown()
analytics.default_client = None
analytics.gzip = True
analytics.track("of-gzip", "Order Paid", {"amount": 1})
analytics.flush()

analytics.shutdown()
analytics.default_client = None
analytics.sync_mode = True
analytics.track("of-sync", "Order Paid", {"amount": 1})
sys.exit("\n".join(map(str, failed)) or 0)
