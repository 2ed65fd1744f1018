export PATH=$PATH:/env/bin
export OMP_NUM_THREADS=8
export TF_NUM_INTRAOP_THREADS=8
export TF_NUM_INTEROP_THREADS=1
export TF_CPP_MIN_LOG_LEVEL=2
export PARSL_TL_ACCELERATOR=rocm
export PARSL_TL_GPUS=of-the-job
export JOBNAME=parsl.flux.block-0
cat << POOL_EOF > <script_dir>/pool_$JOBNAME.sh
parsl-tl-worker-pool  --max_workers_per_node=8 -a <address> -p 0 -c 1.0 -m None --poll 10 --port=<worker_port> --cert_dir <cert_dir> --logdir=<logdir> --logconf=<logconf> --block_id=0 --hb_period=15  --hb_threshold=120 --drain_period=None --cpu-affinity none  --mpi-launcher=mpiexec --available-accelerators 0 1 2 3 4 5 6 7
POOL_EOF
flux run --nodes=3 --ntasks=3 --exclusive bash <script_dir>/pool_$JOBNAME.sh
