from mmengine.model import BaseModel, BaseTTAModel

from ttr_backbones.engine.unwrap import unwrapped


class Model(BaseModel):
    def forward(self):
        pass


class Averaged(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        pass


def test_unwrapped__takes_the_model_out_of_test_time_augmentation():
    model = Model()
    assert unwrapped(Averaged(model)) is model
    assert unwrapped(model) is model
