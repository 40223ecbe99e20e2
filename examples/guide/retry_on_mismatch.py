# Listing 5 of 5: retry a save for as long as the version does not match.
#
# `changed` and `added` mark each line that differs from the guide, and say why.

import os # added: for the port
import sys # added: to stop with a message
import requests
import json

# added: not always port 3500. `steadfast run` takes the next free one, and says so in DAPR_HTTP_PORT.
dapr_port = os.environ.get("DAPR_HTTP_PORT", "3500")

# This method saves the state and returns false if failed to save state
def save_state(data):
    try:
        store_name = "redis-store" # name of the state store as specified in state store component yaml file
        dapr_state_url = "http://localhost:{}/v1.0/state/{}".format(dapr_port, store_name) # changed: the port
        response = requests.post(dapr_state_url, json=data)
        print("save:", response.status_code, response.text) # added: 409 if the version does not match
        # As printed: Steadfast answers 200 because `json=` wraps a text that is JSON already. For a
        # list, json=[{...}], it answers 204 as Dapr does, and `response.ok` is the test for both.
        if response.status_code == 200:
            return True
    except:
        return False
    return False

# This method gets the state and returns the response, with the ETag in the header -->
def get_state(key):
    # changed: the port, and the name of the store for the guide's placeholder <state_store_name>.
    response = requests.get("http://localhost:{}/v1.0/state/redis-store/{}".format(dapr_port, key), headers={"concurrency":"first-write"})
    return response

# Exit when save state is successful. success will be False if there's an ETag mismatch -->
success = False
while success != True:
    response = get_state("key1")
    # added: a key that is not there is answered with 204 and has no ETag; the next line would end
    # in KeyError: 'etag'.
    if response.status_code != 200:
        sys.exit("get: {} {}\nIf that is 204: there is no key1, run save_state.py first".format(response.status_code, response.text))
    etag = response.headers['ETag']
    # changed: {{ and }} for str.format, and quotes around the ETag; see first_write_wins.py.
    newState = '[{{ "key": "key1", "value": "New Data", "etag": "{}", "options": {{ "concurrency": "first-write" }}}}]'.format(etag)

    success = save_state(newState)
