"""The science: plain Python on arrays and tables; imports no dagster, no ray, no mlflow."""

import os

# XGBoost's and scikit-learn's threads wait for each other in a busy loop, and read this as they are loaded. Where other
# processes want the cores too, the loop burns what the thread that it waits for needs: with two busy neighbours on two
# cores, fitting took 62 s instead of 21 s. On idle cores it makes no difference (12 and 13 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
