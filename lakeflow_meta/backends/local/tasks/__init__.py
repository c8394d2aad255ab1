"""What runs inside a task of the embedded workspace: SQL, notebooks with dbutils, programs."""
