# Listing 1 of 5: save state.
#
# `changed` and `added` mark each line that differs from the guide, and say why.

import os # added: for the port
import requests
import json

store_name = "redis-store" # name of the state store as specified in state store component yaml file
# changed: not always port 3500. `steadfast run` takes the next free one, and says so in DAPR_HTTP_PORT.
dapr_state_url = "http://localhost:{}/v1.0/state/{}".format(os.environ.get("DAPR_HTTP_PORT", "3500"), store_name)
# changed: "key1", where the guide has "k1", because every other listing reads and deletes key1.
stateReq = '[{ "key": "key1", "value": "Some Data", "options": { "consistency": "strong" }}]'
# As printed, though stateReq is JSON already and `json=` wraps it again, into one JSON string.
# Steadfast unwraps that, and answers 200 with the new ETag. (An array is answered with 204.)
response = requests.post(dapr_state_url, json=stateReq)
print("save:", response.status_code, response.text) # added: to see something
