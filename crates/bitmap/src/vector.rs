//! Loops over words for the widest vectors that this machine has.
#![allow(unsafe_code)]

/// A loop worth compiling once for each width of vectors. `run` and all that it calls must be `#[inline(always)]`: only what becomes part
/// of one of the functions in [`fastest`] is compiled for its vectors.
pub(crate) trait Kernel {
    type Out;
    fn run(self) -> Self::Out;
}

/// Runs `kernel` as compiled for the widest vectors that this machine has. Choosing costs two or three loads.
#[inline]
pub(crate) fn fastest<K: Kernel>(kernel: K) -> K::Out {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vpopcntdq")
            && is_x86_feature_detected!("bmi2")
        {
            // SAFETY: the function needs nothing but the features just detected.
            return unsafe { x86::avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi2") {
            // SAFETY: as above.
            return unsafe { x86::avx2(kernel) };
        }
    }
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Kernel;

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vpopcntdq,avx2,popcnt,bmi1,bmi2,lzcnt")]
    pub(super) fn avx512<K: Kernel>(kernel: K) -> K::Out {
        kernel.run()
    }

    #[target_feature(enable = "avx2,popcnt,bmi1,bmi2,lzcnt")]
    pub(super) fn avx2<K: Kernel>(kernel: K) -> K::Out {
        kernel.run()
    }
}
