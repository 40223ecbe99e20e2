# Listing 2 of 5: get state.
#
# `changed` and `added` mark each line that differs from the guide, and say why.

import os # added: for the port
import sys # added: to stop with a message
import requests
import json

store_name = "redis-store" # name of the state store as specified in state store component yaml file
# changed: not always port 3500. `steadfast run` takes the next free one, and says so in DAPR_HTTP_PORT.
dapr_state_url = "http://localhost:{}/v1.0/state/{}".format(os.environ.get("DAPR_HTTP_PORT", "3500"), store_name)
response = requests.get(dapr_state_url + "/key1", headers={"consistency":"strong"})
# added: a key that is not there is answered with 204 and has no ETag; the next line would end in
# KeyError: 'etag'.
if response.status_code != 200:
    sys.exit("get: {} {}\nIf that is 204: there is no key1, run save_state.py first".format(response.status_code, response.text))
print(response.headers['ETag'])
print("get:", response.status_code, response.text) # added: the value, too
