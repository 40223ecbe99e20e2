//! Component files as data. Knows YAML and Dapr's conventions for values; knows no store.
