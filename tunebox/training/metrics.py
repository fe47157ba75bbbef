"""The names of what a trial reports after every epoch. Imports no torch."""

# Also reported, for the active terms only: train_<term>, the unweighted mean of that loss term.
TRIAL_METRICS: dict[str, str] = {
    "clean_accuracy": "share of validation images classified correctly, 0 to 1",
    "noisy_accuracy": "the same under the noise of `evaluation`, mean over its draws",
    "clean_loss": "mean cross-entropy on validation images, in nats",
    "noisy_loss": "the same under the noise of `evaluation`, mean over its draws",
    "train_loss": "mean weighted loss over the batches of the epoch",
    "learning_rate": "of the last batch of the epoch",
    "train_seconds": "spent in training and evaluating since epoch 0, over all resumes",
    "images_per_second": "training images of the epoch divided by the time of its batches",
    "parameters": "trainable numbers of the model",
}
