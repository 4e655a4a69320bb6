//! Finding a card, and what can go wrong with one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pollster::block_on;
use wgpu::{
    Adapter, Backends, DeviceDescriptor, DeviceType, Instance, InstanceDescriptor, InstanceFlags,
    MemoryHints, PollError, PollType, Queue, SubmissionIndex,
};

/// A part takes milliseconds on a card, and seconds where a processor stands in for one.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is needed where nothing is found.
const NOTHING: &str = "no card that speaks Vulkan was found. It takes the loader (libvulkan.so.1; Debian: libvulkan1) \
     and the card's Vulkan driver. Containers often bring CUDA alone: with NVIDIA's runtime, \
     NVIDIA_DRIVER_CAPABILITIES must name `graphics`. Debian's mesa-vulkan-drivers stands in for a card, slowly";

/// A graphics card, or a processor that stands in for one.
#[derive(Clone, Debug)]
pub struct Card(Adapter);

impl Card {
    /// All there are, the most promising first; stand-ins come last.
    pub fn all() -> Vec<Self> {
        let instance = Instance::new(InstanceDescriptor {
            backends: Backends::VULKAN,
            flags: InstanceFlags::empty(),
            ..InstanceDescriptor::new_without_display_handle()
        });
        let mut adapters = block_on(instance.enumerate_adapters(Backends::VULKAN));
        adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
            DeviceType::DiscreteGpu => 0,
            DeviceType::VirtualGpu => 1,
            DeviceType::IntegratedGpu => 2,
            DeviceType::Other => 3,
            DeviceType::Cpu => 4,
        });
        adapters.into_iter().map(Self).collect()
    }

    /// The most promising one; the error says what is missing.
    pub(crate) fn best() -> Result<Self, String> {
        Self::all().into_iter().next().ok_or_else(|| NOTHING.to_owned())
    }

    /// What it is, and its driver, for people.
    pub fn name(&self) -> String {
        let info = self.0.get_info();
        format!("GPU, {} ({})", info.name, info.driver)
    }

    /// Whether a processor stands in for a card.
    pub fn is_software(&self) -> bool {
        self.0.get_info().device_type == DeviceType::Cpu
    }
}

/// A card in use.
#[derive(Debug)]
pub(crate) struct Device {
    pub device: wgpu::Device,
    pub queue: Queue,
    failure: Failure,
}

/// What went wrong first; nothing is asked of the card after that.
#[derive(Clone, Debug, Default)]
struct Failure(Arc<OnceLock<String>>);

impl Failure {
    fn set(&self, why: String) {
        // Only the first counts: the others follow from it.
        let _ = self.0.set(why);
    }
}

impl Device {
    pub fn open(card: &Card) -> Result<Self, String> {
        let descriptor = DeviceDescriptor {
            label: Some("digest"),
            required_limits: card.0.limits(),
            memory_hints: MemoryHints::Performance,
            ..DeviceDescriptor::default()
        };
        let (device, queue) =
            block_on(card.0.request_device(&descriptor)).map_err(|error| error.to_string())?;
        let failure = Failure::default();
        let (lost, wrong) = (failure.clone(), failure.clone());
        device.set_device_lost_callback(move |_, why| {
            lost.set(format!("the device was lost: {}", why.trim()));
        });
        device
            .on_uncaptured_error(Arc::new(move |error: wgpu::Error| wrong.set(error.to_string())));
        Ok(Self { device, queue, failure })
    }

    /// Why nothing can be asked of it any more.
    pub fn check(&self) -> Result<(), String> {
        self.failure.0.get().map_or(Ok(()), |why| Err(why.clone()))
    }

    /// Gives it up.
    pub fn fail(&self, why: String) -> String {
        self.failure.set(why);
        self.failure.0.get().cloned().unwrap_or_default()
    }

    /// Waits until a submission is done.
    pub fn wait(&self, submission: SubmissionIndex) -> Result<(), String> {
        let poll = PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
        // wgpu panics where the driver tells it, while it waits, that the device is lost. What it leaves behind
        // is not used again.
        let result = catch_unwind(AssertUnwindSafe(|| self.device.poll(poll)));
        self.check()?;
        match result {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(PollError::WrongSubmissionIndex(..))) => {
                Err("the device was lost: it takes no more work".to_owned())
            }
            Ok(Err(PollError::Timeout)) => {
                Err(format!("the device has not answered for {} s", PATIENCE.as_secs()))
            }
            Err(_) => Err("the device was lost while it was waited for".to_owned()),
        }
    }
}
