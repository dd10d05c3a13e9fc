//! The recipes of a backend, by signature.

use super::cache_key::Signature;
use super::cached_update::Recipe;
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// How many are kept. Each is of some kilobytes, its plan included.
const MOST: usize = 256;

/// By a hash that is fast for some hundred bytes. A caller who knows how to make signatures collide slows down nobody but himself.
type Recipes = HashMap<Vec<u8>, Rc<Recipe>, Xxh3DefaultBuilder>;

thread_local! {
    // Never dropped: at the backend's exit nothing of Postgres may be called any more.
    static RECIPES: ManuallyDrop<RefCell<Recipes>> = ManuallyDrop::new(RefCell::default());
}

/// A copy of the pointer: the statement may fire a trigger that comes back here and has the recipe forgotten.
pub fn find(signature: &Signature) -> Option<Rc<Recipe>> {
    RECIPES.with(|recipes| recipes.borrow().get(&signature.bytes).cloned())
}

pub fn keep(signature: Signature, recipe: Recipe) {
    RECIPES.with(|recipes| {
        let mut recipes = recipes.borrow_mut();
        if recipes.len() >= MOST {
            // An application has few signatures; whoever makes hundreds of them gains nothing by a cleverer choice.
            recipes.clear();
        }
        recipes.insert(signature.bytes, Rc::new(recipe));
    });
}

pub fn forget(signature: &Signature) {
    RECIPES.with(|recipes| recipes.borrow_mut().remove(&signature.bytes));
}
