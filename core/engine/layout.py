"""Where things stand in the small arrays that every kernel is handed: the names of their slots.

A kernel (see `kernel.py`) is called with six arrays. Four of them are plain memory that the program lays out
(`row`, `arena`, `data`, `hyper`); the two whose first slots mean the same in every program are named here.
"""

# --- context (int64): what the executor and the kernels tell each other during one step
STEP = 0  # number of the step being computed, from 0
ROWS = 1  # samples in this minibatch (the last one of an epoch may be shorter)
GEMM = 2  # address of BLAS' matrix product for the program's precision
SAMPLES = 3  # rows in the data array
BATCH_SIZE = 4  # samples in a full minibatch
SHUFFLE_KEY = 5  # key of the random stream that orders the samples; see `random.py`
SHUFFLED_EPOCH = 6  # the epoch whose order stands in the context now; -1 when none does
SHUFFLE = 7  # 1: a new order every epoch, 0: always the order of the data
SKIP_TO = 8  # rows of this step before this one are passed over (a step whose gradients overflowed updates nothing)
INDICES = 16  # first slot of the row numbers of the minibatch; the order of the epoch follows after BATCH_SIZE slots

# --- row (int64): one operation
KERNEL = 0  # which kernel: a position in the program's address table
FIRST = 1  # first slot whose meaning is the kernel's own
WIDTH = 16  # slots in a row

# --- statistics (float64): what one step reports about the whole run; the layers' columns follow
LOSS = 0
ACCURACY = 1
LEARNING_RATE = 2
GRADIENT_NORM = 3
CLIPPED_GRADIENT_NORM = 4
PENALTY = 5
RUN_COLUMNS = ("loss", "accuracy", "learning_rate", "gradient_norm", "clipped_gradient_norm", "penalty")
