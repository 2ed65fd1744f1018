"""Trains a candidate with the backend that KERAS_BACKEND names; all stored models then predict."""

import json
import sys

import numpy as np

from parsl_tl import open_store
from parsl_tl.store.export import load_keras_model
from parsl_tl.training import run_transfer_trainer

job = json.loads(sys.argv[1])
result = run_transfer_trainer(job)
x = np.random.default_rng(0).random((50, 64), np.float32)
with open_store(job["store"]) as store:
    predictions = {}
    for model_id in store.models()["model_id"].to_pylist():
        model = load_keras_model(store, model_id)
        predictions[str(model_id)] = np.asarray(model.predict(x, verbose=0)).tolist()
print(json.dumps({**result, "predictions": predictions}))
