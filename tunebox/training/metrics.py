"""What every trial reports after each epoch, whatever its losses. Any of them can be an objective.

Imports no torch: search files are checked against these names without paying for that.
"""

TRIAL_METRICS = {
    "clean_accuracy": "share of validation images classified correctly, in [0, 1]",
    "noisy_accuracy": "the same on validation images under the evaluation's noise",
    "clean_loss": "mean cross-entropy on validation images",
    "noisy_loss": "mean cross-entropy on validation images under the evaluation's noise",
    "train_loss": "mean of the weighted training loss over the epoch",
    "learning_rate": "after the last step of the epoch",
    "train_seconds": "spent on training and evaluation so far",
    "images_per_second": "training images per second in this epoch, each view counted once",
    "parameters": "number of trainable parameters of the model",
}
