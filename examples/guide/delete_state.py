# Listing 3 of 5: delete state.
#
# `changed` and `added` mark each line that differs from the guide, and say why.

import os # added: for the port
import requests
import json

store_name = "redis-store" # name of the state store as specified in state store component yaml file
# changed: not always port 3500. `steadfast run` takes the next free one, and says so in DAPR_HTTP_PORT.
dapr_state_url = "http://localhost:{}/v1.0/state/{}".format(os.environ.get("DAPR_HTTP_PORT", "3500"), store_name)
response = requests.delete(dapr_state_url + "/key1", headers={"consistency":"strong"})
print("delete:", response.status_code, response.text) # added: 204, whether or not key1 was there
