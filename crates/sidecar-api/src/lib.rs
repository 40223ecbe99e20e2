//! Dapr's state API: translations from the wire to one service.
