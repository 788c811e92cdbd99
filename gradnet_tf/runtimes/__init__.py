"""What runs a network: Keras, LiteRT, TensorFlow for SavedModels, or no network at all."""
