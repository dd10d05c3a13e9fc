//! Builders that are awaited.

/// Lets `.await` call the method `send` of a builder.
macro_rules! awaitable {
    ($builder:ident $(<$life:lifetime>)? -> $output:ty) => {
        impl $(<$life>)? IntoFuture for $builder $(<$life>)? {
            type Output = $output;
            type IntoFuture = std::pin::Pin<Box<dyn Future<Output = $output> + Send $(+ $life)?>>;
            fn into_future(self) -> Self::IntoFuture {
                Box::pin(self.send())
            }
        }
    };
}
pub(crate) use awaitable;
